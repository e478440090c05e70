/* SPDX-License-Identifier: MIT */
/* The board's counters as text for Prometheus. */
#ifndef CW_BASE_METRICS_TEXT_H
#define CW_BASE_METRICS_TEXT_H

#include "base/board.h"
#include "base/buf.h"
#include "base/macros.h"

#define CW_METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Appends the sums over all slots in the text format 0.0.4. Any thread of any process
 * that has the board; reads /proc for the workers' memory. Returns 0, or -1 when out of
 * memory. */
CW_MUSTCHECK int cw_metrics_text(const cw_board_t *board, cw_buf_t *out);

#endif
