/* +++
description = "Each airport on each day, a partition for each pair."
group = "marts"
[partitions.day]
daily = "2013-01-01"
end = "2014-01-01"
column = "flight_date"
timezone = "America/New_York"
[partitions.airport]
keys = ["EWR", "JFK", "LGA"]
column = "origin"
+++ */
select
  flight_date,
  origin,
  count(*) as flights,
  count(distinct destination) as destinations,
  sum(distance) as miles,
  avg(arrival_delay) as mean_arrival_delay                    -- minutes
from staging.flights
group by flight_date, origin
