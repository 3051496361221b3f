/* +++
description = "Revenue and orders of each day."
group = "marts"
+++ */
select
  ordered_on,
  count(*) as order_count,
  sum(amount) as revenue      -- in euros
from staging.orders
group by ordered_on
order by ordered_on
