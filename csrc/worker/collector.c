/* SPDX-License-Identifier: MIT */
/* C has no interface to the collector's numbers: module gc, which is built in, has. */
#include "worker/collector.h"

/* What gc.get_threshold() had first, or 0 where it was left as it was. */
static long before;

/* The first number of gc.get_threshold(), or -1 with an exception. */
static CW_RAISES long threshold(PyObject *gc) {
  PyObject *all = PyObject_CallMethod(gc, "get_threshold", NULL);
  PyObject *first = all ? PyTuple_GetItem(all, 0) : NULL; /* borrowed */
  long number = first ? PyLong_AsLong(first) : -1;
  Py_XDECREF(all);
  return number;
}

/* Calls a function of module gc that returns nothing of use. Returns 0 or -1. */
static CW_RAISES int call(PyObject *gc, const char *name) {
  PyObject *r = PyObject_CallMethod(gc, name, NULL);
  Py_XDECREF(r);
  return r ? 0 : -1;
}

/* Sets the first number alone: the others may be the app's by now. */
static CW_RAISES int set(PyObject *gc, long number) {
  PyObject *r = PyObject_CallMethod(gc, "set_threshold", "l", number);
  Py_XDECREF(r);
  return r ? 0 : -1;
}

/* Moves all that is young to what is old: into what is frozen, and out of it. */
static CW_RAISES int age(PyObject *gc) {
  PyObject *count = PyObject_CallMethod(gc, "get_freeze_count", NULL);
  long frozen = count ? PyLong_AsLong(count) : -1;
  Py_XDECREF(count);
  if (frozen != 0) return frozen < 0 ? -1 : 0;
  return call(gc, "freeze") < 0 ? -1 : call(gc, "unfreeze");
}

int cw_collector_relax(void) {
  CW_ASSERT_GIL();
  PyObject *gc = PyImport_ImportModule("gc");
  long number = gc ? threshold(gc) : -1;
  int rc = number < 0 ? -1 : 0;
  if (number > 0 && number < CW_COLLECTOR_YOUNG) {
    rc = set(gc, CW_COLLECTOR_YOUNG);
    if (rc == 0) before = number;
  }
  Py_XDECREF(gc);
  return rc;
}

int cw_collector_restore(void) {
  CW_ASSERT_GIL();
  if (before == 0) return 0;
  PyObject *gc = PyImport_ImportModule("gc");
  long number = gc ? threshold(gc) : -1;
  int rc = number < 0 ? -1 : 0;
  if (number == CW_COLLECTOR_YOUNG) rc = set(gc, before);
  before = 0;
  if (rc == 0) rc = age(gc);
  Py_XDECREF(gc);
  return rc;
}
