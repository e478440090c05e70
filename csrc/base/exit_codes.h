/* SPDX-License-Identifier: MIT */
/* How our processes end. */
#ifndef CW_BASE_EXIT_CODES_H
#define CW_BASE_EXIT_CODES_H

/* What cwsgi itself ends with; 0: it was asked to stop. As gunicorn's. */
enum {
  CW_EXIT_CONFIG = 1, /* settings, addresses, no worker to be had */
  CW_EXIT_USAGE = 2,  /* the command line */
  CW_EXIT_BOOT = 3,   /* the app cannot be imported */
  CW_EXIT_APP = 4,    /* what was imported is no app */
};

/* Between a worker and its supervisor besides: out of the way of those that apps use.
 */
enum {
  CW_EXIT_AGAIN =
      237, /* it has waited for a file to change, since its app was broken */
};

/* Its Python has no cwsgi. For the preprocessor: it goes into Python code. */
#define CW_EXIT_NO_PACKAGE 235

#endif
