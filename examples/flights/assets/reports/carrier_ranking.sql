/* +++
description = "Carriers by punctuality."
group = "reports"
[inputs]
"staging.flights" = { allow_missing = true }               # months that have not come yet
+++ */
select
  rank() over (order by avg(f.arrival_delay)) as rank,
  f.carrier,
  a.carrier_name,
  count(*) as flights,
  avg(f.arrival_delay) as mean_arrival_delay,                 -- minutes
  avg(case when f.arrival_delay >= $var_delayed_minutes then 1.0 else 0.0 end) as delayed_share
from staging.flights f
join staging.airlines a on f.carrier = a.carrier
where f.arrival_delay is not null
group by f.carrier, a.carrier_name
having count(*) >= $var_min_flights
order by rank
