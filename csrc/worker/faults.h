/* SPDX-License-Identifier: MIT */
/* Python's side of the fault-injection build: its allocators count, too. Nothing of
 * this is in an ordinary build. All functions need the GIL. */
#ifndef CW_WORKER_FAULTS_H
#define CW_WORKER_FAULTS_H

#ifdef CW_FAULTS
#include "wsgi/python.h"

/* Puts the countdown of base/fault.h before CPython's allocators of objects and
 * buffers. Once per process. The raw domain stays as it is: CPython ends the process
 * where that fails. */
void cw_faults_install(void);

/* _fault_arm(n) and _fault_left(). */
CW_NEW PyObject *cw_faults_arm(PyObject *module, PyObject *n);
CW_NEW PyObject *cw_faults_left(PyObject *module, PyObject *unused);
#endif

#endif
