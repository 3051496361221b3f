/* +++
description = "Month by month, with the share of flights and the change to the month before."
group = "reports"
[inputs]
"marts.daily_summary" = { allow_missing = true }               # months that have not come yet
+++ */
with months as (
  select
    month,
    sum(flights) as flights,
    sum(cancelled) as cancelled,
    sum(mean_delay * flights) / sum(flights) as mean_delay
  from marts.daily_summary
  group by month
)
select
  month,
  flights,
  cancelled,
  mean_delay,                                                 -- minutes
  flights * 1.0 / sum(flights) over () as share_of_flights,
  mean_delay - lag(mean_delay) over (order by month) as change_of_delay
from months
order by month
