/* SPDX-License-Identifier: MIT */
/* Monotonic clock and the Date header's text. */
#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

int64_t cw_now_us(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

const char *cw_http_date(void) {
  static const char days[] = "SunMonTueWedThuFriSat";
  static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
  static _Thread_local char text[64];
  static _Thread_local time_t made = -1;
  struct timespec ts;
  /* The coarse clock is a few nanoseconds and good to one tick. */
  clock_gettime(CLOCK_REALTIME_COARSE, &ts);
  if (ts.tv_sec != made) {
    struct tm tm;
    made = ts.tv_sec;
    gmtime_r(&made, &tm);
    /* strftime would follow the app's locale. */
    snprintf(text, sizeof(text), "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT",
             days + 3 * tm.tm_wday, tm.tm_mday, months + 3 * tm.tm_mon,
             tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
  }
  return text;
}
