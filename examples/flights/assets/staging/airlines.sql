/* +++
description = "Carriers."
group = "staging"
+++ */
select carrier, name as carrier_name from raw.airlines
