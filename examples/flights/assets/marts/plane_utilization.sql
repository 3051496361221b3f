/* +++
description = "How much each plane flew."
group = "marts"
[inputs]
"flight_facts" = { allow_missing = true }               # months that have not come yet
+++ */
select
  tail_number,
  min(manufacturer) as manufacturer,                          -- one for each plane
  min(plane_age) as plane_age,                                -- years
  count(*) as flights,
  sum(air_time) / 60 as hours_in_air,
  sum(distance) as miles,
  max(flight_date) as last_flight
from flight_facts
where tail_number is not null and not is_cancelled
group by tail_number
having count(*) >= $var_min_flights
