/* +++
description = "Flights and delays of each carrier on each day, with a rolling week."
group = "marts"
partitions = { daily = "2013-01-01", end = "2014-01-01", column = "flight_date", timezone = "America/New_York" }
# A day needs the six before it, which may be in the month before.
[inputs]
"staging.flights" = { start_offset = -6 }
[checks]
unique = [["carrier", "flight_date"]]
expression.cancelled_are_flights = "cancelled <= flights"
+++ */
with days as (
  select
    carrier,
    flight_date,
    count(*) as flights,
    sum(case when is_cancelled then 1 else 0 end) as cancelled,
    avg(departure_delay) as mean_delay
  from staging.flights
  group by carrier, flight_date
)
select
  carrier,
  flight_date,
  flights,
  cancelled,
  mean_delay,                                                 -- minutes
  avg(mean_delay) over (
    partition by carrier order by flight_date rows between 6 preceding and current row
  ) as mean_delay_7_days
from days
