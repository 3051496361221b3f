/* +++
description = "Flights with a date, a scheduled moment of departure, and flags for what went wrong."
group = "staging"
owners = ["team:operations"]
partitions = { monthly = "2013-01", end = "2014-01", column = "flight_date", format = "%Y-%m", timezone = "America/New_York" }
[io]
sort_by = ["flight_date"]
[checks]
not_null = ["carrier", "origin", "destination", "flight_date"]
accepted_values.origin = ["EWR", "JFK", "LGA"]
range.month = { min = 1, max = 12 }
range.departure_delay = { min = -120, max = 1440 }
expression.mostly_on_time = "avg(departure_delay) < 60"
relationships.carrier = "staging.airlines.carrier"
+++ */
select
  cast(make_date(year, month, day) as date) as flight_date,   -- local date of departure
  time_hour,                                                  -- scheduled hour of departure, UTC
  month,
  carrier,                                                    -- IATA code of the operating carrier
  flight as flight_number,
  tailnum as tail_number,
  origin,
  dest as destination,
  hour as scheduled_hour,                                     -- local hour of departure
  dep_delay as departure_delay,                               -- minutes, negative is early
  arr_delay as arrival_delay,                                 -- minutes, negative is early
  air_time,                                                   -- minutes
  distance,                                                   -- miles
  dep_time is null as is_cancelled,
  dep_time is not null and arr_delay is null as is_diverted,
  coalesce(dep_delay, 0) >= $var_delayed_minutes as is_delayed
from raw.flights
