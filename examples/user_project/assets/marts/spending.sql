/* +++
description = "What each customer has spent."
group = "marts"
+++ */
select
  customer,
  coalesce(sum(amount), 0.0) as spent     -- in euros
from raw.orders
group by customer
