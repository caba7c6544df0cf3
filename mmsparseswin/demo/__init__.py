"""Page in the browser: predictions, what tokens look at, attention, models side by side, videos."""
