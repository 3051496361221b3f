/* +++
description = "The twenty days with the longest delays, and the weather of the day."
group = "reports"
[inputs]
"marts.daily_summary" = { allow_missing = true }               # months that have not come yet
+++ */
select
  flight_date,
  sum(flights) as flights,
  sum(cancelled) as cancelled,
  sum(mean_delay * flights) / sum(flights) as mean_delay,     -- minutes
  max(mean_precipitation) as precipitation                    -- mm an hour, at the wettest airport
from marts.daily_summary
group by flight_date
order by mean_delay desc, flight_date
limit 20
