/* SPDX-License-Identifier: MIT */
/* All settings from all their sources. Single-threaded; starts a short-lived Python
 * where there is a configuration file. */
#ifndef CW_LAUNCHER_SETTINGS_H
#define CW_LAUNCHER_SETTINGS_H

#include <signal.h>
#include <stdbool.h>

#include "base/macros.h"
#include "base/options.h"
#include "launcher/findpy.h"

typedef struct cw_origin {
  int argc;
  char **argv;        /* the command line, with the program's name */
  sigset_t mask;      /* the signals that were blocked at the start */
  cw_python_t python; /* found on the way: with `need_python`, or for a file */
  bool have_python;
  bool
      searched; /* for a configuration that nobody has named: done once, at the start */
  const char *found;
} cw_origin_t;

/* Reads environment, command line and CMD_ARGS into an uninitialised `out`. Returns 0,
 * or an exit code after saying what is wrong. */
CW_MUSTCHECK int cw_settings_read_words(const cw_origin_t *o, cw_settings_t *out);

/* Adds the configuration file: --config, or ./cwsgi.conf.py or ./gunicorn.conf.py where
 * there was one at the first call: whoever can write to the folder later must not
 * choose what runs at a reload, with the supervisor's rights. Same results. */
CW_MUSTCHECK int cw_settings_add_file(cw_origin_t *o, cw_settings_t *s);

#endif
