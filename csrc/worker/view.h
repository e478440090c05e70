/* SPDX-License-Identifier: MIT */
/* The board as the package's tools see it, in a process that is no worker: `memory` is
 * a mapping of the board's file, in Python any writable buffer. All need the GIL; who
 * writes the board may be anybody, so nothing of it is believed. */
#ifndef CW_WORKER_VIEW_H
#define CW_WORKER_VIEW_H

#include "wsgi/python.h"

/* _core._board_read(memory): a dict of all that is there. ValueError where it is no
 * board, or one of another layout, with its version. */
CW_NEW PyObject *cw_view_read(PyObject *module, PyObject *memory);

/* _core._board_watch(memory, ms): workers that are told time their requests until then.
 * Returns whether they did so until now. */
CW_NEW PyObject *cw_view_watch(PyObject *module, PyObject *args);

/* _core._board_ask(memory, slot, now): the next signal to that worker is a question.
 * Returns its number. */
CW_NEW PyObject *cw_view_ask(PyObject *module, PyObject *args);

/* _core._board_answer(memory, number): (stacks, bytes that there were, errno), or None
 * while there is no answer. */
CW_NEW PyObject *cw_view_answer(PyObject *module, PyObject *args);

#endif
