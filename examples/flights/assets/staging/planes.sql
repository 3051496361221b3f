/* +++
description = "Planes that have flown, with their age in 2013."
group = "staging"
+++ */
select
  tailnum as tail_number,
  year as built_in,
  2013 - year as age,                                         -- years
  type,
  trim(manufacturer) as manufacturer,
  model,
  engines,
  seats
from raw.planes
