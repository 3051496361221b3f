/* +++
description = "Customers by what they spent."
group = "marts"
+++ */
select
  customer,
  sum(amount) as spent,                                     -- in euros
  rank() over (order by sum(amount) desc) as rank
from staging.orders
group by customer
order by rank, customer
