/* +++
description = "The routes with the most flights, and how they compare with all from the same airport."
group = "reports"
+++ */
select r.*, r.mean_arrival_delay - o.mean_arrival_delay as compared_with_origin
from marts.route_summary r
join (
  select origin, avg(mean_arrival_delay) as mean_arrival_delay
  from marts.route_summary
  group by origin
) o on r.origin = o.origin
where r.destination in (select airport from staging.airports)
order by r.flights desc
limit 25
