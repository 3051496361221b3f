/* +++
description = "Orders that count."
group = "staging"
+++ */
select
  order_id,
  customer,
  ordered_on,
  amount      -- in euros
from raw.orders
where amount >= $var_min_amount
