/* +++
description = "Every flight with its carrier, plane, airports and the weather at departure."
group = "marts"
tags = ["wide"]
partitions = { monthly = "2013-01", end = "2014-01", column = "flight_date", format = "%Y-%m", timezone = "America/New_York" }
[io]
sort_by = ["flight_date"]
bloom_filters = ["tail_number"]
+++ */
select
  f.*,
  a.carrier_name,
  o.airport_name as origin_name,
  d.airport_name as destination_name,
  d.latitude as destination_latitude,
  d.longitude as destination_longitude,
  p.manufacturer,
  p.model,
  p.age as plane_age,                                         -- years
  p.seats,
  w.temperature,                                              -- degrees Celsius
  w.wind_speed,                                               -- km/h
  w.precipitation,                                            -- mm in the hour
  w.visibility                                                -- km
from staging.flights f
left join staging.airlines a on f.carrier = a.carrier
left join staging.airports o on f.origin = o.airport
left join staging.airports d on f.destination = d.airport
left join staging.planes p on f.tail_number = p.tail_number
left join staging.weather w on f.origin = w.origin and f.time_hour = w.time_hour
