/* +++
description = "Airports with their place."
group = "staging"
+++ */
select
  faa as airport,                                             -- FAA code
  name as airport_name,
  lat as latitude,
  lon as longitude,
  alt as altitude,                                            -- feet
  tzone as time_zone
from raw.airports
