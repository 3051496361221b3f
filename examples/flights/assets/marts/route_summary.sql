/* +++
description = "Routes by traffic and punctuality."
group = "marts"
[inputs]
"flight_facts" = { allow_missing = true }               # months that have not come yet
+++ */
select
  origin,
  destination,
  destination_name,
  count(*) as flights,
  count(distinct carrier) as carriers,
  avg(distance) as distance,                                  -- miles
  avg(air_time) as mean_air_time,                             -- minutes
  avg(arrival_delay) as mean_arrival_delay,                   -- minutes
  approx_percentile_cont(0.9) within group (order by arrival_delay) as arrival_delay_p90,
  avg(case when is_cancelled then 1.0 else 0.0 end) as cancelled_share
from flight_facts
group by origin, destination, destination_name
