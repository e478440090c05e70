/* SPDX-License-Identifier: MIT */
/* The program: options, Python, then the supervisor. Plain C; no interpreter is ever
 * loaded into this process. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/options.h"
#include "launcher/door.h"
#include "supervisor/supervisor.h"

enum { EXIT_CONFIG = 1, EXIT_USAGE = 2, MESSAGE = 512 };

static int print_version(const cw_settings_t *s) {
  cw_python_t python;
  char err[MESSAGE], version[64] = "none found";
  if (cw_find_python(cw_opt_str(s, CW_OPT_PYTHON), &python, err, sizeof(err)) != 0 ||
      cw_door_version(&python, version, sizeof(version)) != 0)
    snprintf(version, sizeof(version), "none found");
  printf("cwsgi %s (CPython %s, libuv %s, llhttp %s)\n", CW_VERSION, version,
         CW_UV_VERSION, CW_LLHTTP_VERSION);
  return 0;
}

static int print_help(void) {
  puts(
      "usage: cwsgi [options] APP\n\n"
      "Serves a WSGI app. APP is module:name, module:name.attr, "
      "module:factory(\"arg\") or a\n"
      "bare module that has an 'application' or an 'app'.");
  cw_options_help(stdout);
  return 0;
}

/* Enters Python in a worker's process. */
static void enter(void *data, int fd, int slot) {
  cw_door_enter(data, fd, slot);
}

int main(int argc, char **argv) {
  static cw_settings_t settings; /* lives as long as the process */
  static cw_python_t python;
  char err[MESSAGE];
  if (cw_settings_init(&settings) != 0) {
    cw_complain("out of memory");
    return EXIT_CONFIG;
  }
  if (cw_settings_read_env(&settings, err, sizeof(err)) != 0) {
    cw_complain("%s", err);
    return EXIT_CONFIG;
  }
  if (cw_settings_read_args(&settings, argc - 1, argv + 1, CW_FROM_ARGV, err,
                            sizeof(err)) != 0) {
    cw_complain("%s", err);
    return EXIT_USAGE;
  }
  if (cw_opt_num(&settings, CW_OPT_HELP)) return print_help();
  if (cw_opt_num(&settings, CW_OPT_VERSION)) return print_version(&settings);
  if (!cw_opt_str(&settings, CW_OPT_WSGI_APP)) {
    cw_complain("no app was named; try: cwsgi main:app");
    return EXIT_USAGE;
  }
  int level = cw_log_level_parse(cw_opt_str(&settings, CW_OPT_LOGLEVEL));
  if (level < 0) {
    cw_complain("--log-level: '%s' is not one of debug, info, warning, error, critical",
                cw_opt_str(&settings, CW_OPT_LOGLEVEL));
    return EXIT_CONFIG;
  }
  cw_log_set_level((cw_log_level_t)level);
  if (cw_find_python(cw_opt_str(&settings, CW_OPT_PYTHON), &python, err, sizeof(err)) !=
      0) {
    cw_complain("%s", err);
    return EXIT_CONFIG;
  }
  cw_supervisor_t how = {.settings = &settings,
                         .argc = argc,
                         .argv = argv,
                         .python = python.program,
                         .enter = enter,
                         .data = &python};
  return cw_supervise(&how);
}
