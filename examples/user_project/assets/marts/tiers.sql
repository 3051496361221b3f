/* +++
description = "Customers of each tier."
group = "marts"
+++ */
select tier, count(*) as customers, sum(points) as points
from loyalty
group by tier
