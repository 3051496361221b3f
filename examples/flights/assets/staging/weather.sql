/* +++
description = "Hourly weather, in SI units."
group = "staging"
+++ */
select
  origin,
  time_hour,                                                  -- hour of observation, UTC
  (temp - 32) * 5 / 9 as temperature,                         -- degrees Celsius
  (dewp - 32) * 5 / 9 as dew_point,                           -- degrees Celsius
  humid as humidity,                                          -- percent
  wind_dir as wind_direction,                                 -- degrees
  wind_speed * 1.609344 as wind_speed,                        -- km/h
  precip * 25.4 as precipitation,                             -- mm
  pressure,                                                   -- hPa
  visib * 1.609344 as visibility                              -- km
from raw.weather
