/* +++
description = "Carriers."
group = "staging"
[checks]
not_null = ["carrier"]
unique = ["carrier"]
+++ */
select carrier, name as carrier_name from raw.airlines
