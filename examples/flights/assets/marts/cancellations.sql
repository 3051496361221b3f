/* +++
description = "Flights by month, airport and whether they were cancelled: three dimensions."
group = "marts"
[partitions.month]
monthly = "2013-01"
end = "2014-01"
format = "%Y-%m"
column = "first_day"
timezone = "America/New_York"
[partitions.airport]
keys = ["EWR", "JFK", "LGA"]
column = "origin"
[partitions.cancelled]
keys = ["false", "true"]
column = "is_cancelled"
+++ */
select
  cast(date_trunc('month', flight_date) as date) as first_day,
  origin,
  is_cancelled,
  count(*) as flights,
  count(distinct tail_number) as planes,
  avg(precipitation) as mean_precipitation                    -- mm in the hour
from marts.flight_facts
group by first_day, origin, is_cancelled
