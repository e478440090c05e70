/* SPDX-License-Identifier: MIT */
/* The process's title, as ps and top show it. */
#ifndef CW_BASE_TITLE_H
#define CW_BASE_TITLE_H

#include "base/macros.h"

/* Writes a new title over the memory that held the command line and the environment;
 * the environment moves elsewhere first. Never fails loudly: a title is a courtesy.
 * Call it while no other thread may read the environment. */
void cw_title_set(const char *fmt, ...) CW_PRINTF(1, 2);

#endif
