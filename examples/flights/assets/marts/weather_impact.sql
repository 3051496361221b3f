/* +++
description = "Delays by weather at departure."
group = "marts"
[inputs]
"flight_facts" = { allow_missing = true }               # months that have not come yet
+++ */
select
  origin,
  case
    when precipitation > 2.5 then 'heavy rain'
    when precipitation > 0 then 'rain'
    when wind_speed > 40 then 'wind'
    when visibility < 5 then 'fog'
    else 'fair'
  end as weather,
  count(*) as flights,
  avg(departure_delay) as mean_delay,                         -- minutes
  avg(case when is_cancelled then 1.0 else 0.0 end) as cancelled_share
from flight_facts
where temperature is not null
group by origin, 2
