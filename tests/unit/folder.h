/* SPDX-License-Identifier: MIT */
/* A folder of a unit test's own. */
#ifndef CW_TESTS_FOLDER_H
#define CW_TESTS_FOLDER_H

#include "unit/unit.h"

#include <stdio.h>
#include <stdlib.h>

static char dir[] = "/tmp/cwsgi-unit-XXXXXX";

/* Runs the tests, an array, with the folder, and removes it with all that is in it. */
#define RUN_IN_FOLDER(tests) \
  (mkdtemp(dir) ? remove_folder(cmocka_run_group_tests(tests, NULL, NULL)) : 1)

/* Returns `rc`, or 1 where the folder cannot be removed. */
static inline int remove_folder(int rc) {
  char command[64];
  snprintf(command, sizeof(command), "rm -r %s", dir);
  return system(command) != 0 ? 1 : rc;
}

#endif
