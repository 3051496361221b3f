/* +++
description = "How delays build up over the day."
group = "marts"
partition_by = ["origin"]
[inputs]
"staging.flights" = { allow_missing = true }               # months that have not come yet
+++ */
select
  origin,
  scheduled_hour,
  count(*) as flights,
  avg(departure_delay) as mean_delay,                         -- minutes
  avg(departure_delay) - lag(avg(departure_delay)) over (
    partition by origin order by scheduled_hour
  ) as change_to_hour_before                                  -- minutes
from staging.flights
where not is_cancelled
group by origin, scheduled_hour
