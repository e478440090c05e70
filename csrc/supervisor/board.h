/* SPDX-License-Identifier: MIT */
/* The one side of the board that the supervisor trusts, its own (base/board.h). */
#ifndef CW_SUPERVISOR_BOARD_H
#define CW_SUPERVISOR_BOARD_H

#include "supervisor/state.h"

/* Says what is on the board, for tools. Once, while nobody else has it. */
void cw_board_sign(cw_board_t *b);

/* Writes what the supervisor knows over whatever is there. */
void cw_board_publish(state_t *st);

/* Empties the slot for a worker that starts. */
void cw_board_clear(state_t *st, int slot);

#endif
