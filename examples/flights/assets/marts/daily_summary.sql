/* +++
description = "New York's airports, day by day."
group = "marts"
partitions = { daily = "2013-01-01", end = "2014-01-01", column = "flight_date", timezone = "America/New_York" }
+++ */
select
  month,
  flight_date,
  origin,
  count(*) as flights,
  sum(case when is_cancelled then 1 else 0 end) as cancelled,
  sum(case when is_delayed then 1 else 0 end) as delayed,
  avg(departure_delay) as mean_delay,                         -- minutes
  max(departure_delay) as worst_delay,                        -- minutes
  avg(temperature) as mean_temperature,                       -- degrees Celsius
  sum(precipitation) / count(*) as mean_precipitation         -- mm an hour
from flight_facts
group by month, flight_date, origin
