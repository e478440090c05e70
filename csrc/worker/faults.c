/* SPDX-License-Identifier: MIT */
/* CPython's allocators with a countdown before them, in the fault-injection build. */
#include "worker/faults.h"

#ifdef CW_FAULTS
#include "base/fault.h"

/* What stood there before: [0] for buffers, [1] for objects. */
static PyMemAllocatorEx inner[2];

static void *on_malloc(void *ctx, size_t n) {
  const PyMemAllocatorEx *a = ctx;
  return cw_fault_now() ? NULL : a->malloc(a->ctx, n);
}

static void *on_calloc(void *ctx, size_t n, size_t size) {
  const PyMemAllocatorEx *a = ctx;
  return cw_fault_now() ? NULL : a->calloc(a->ctx, n, size);
}

static void *on_realloc(void *ctx, void *p, size_t n) {
  const PyMemAllocatorEx *a = ctx;
  return cw_fault_now() ? NULL : a->realloc(a->ctx, p, n);
}

static void on_free(void *ctx, void *p) {
  const PyMemAllocatorEx *a = ctx;
  a->free(a->ctx, p);
}

void cw_faults_install(void) {
  static const PyMemAllocatorDomain domains[] = {PYMEM_DOMAIN_MEM, PYMEM_DOMAIN_OBJ};
  for (size_t i = 0; i < CW_ARRAY_LEN(domains); i++) {
    PyMem_GetAllocator(domains[i], &inner[i]);
    PyMemAllocatorEx outer = {&inner[i], on_malloc, on_calloc, on_realloc, on_free};
    PyMem_SetAllocator(domains[i], &outer);
  }
}

PyObject *cw_faults_arm(PyObject *module, PyObject *n) {
  long count = PyLong_AsLong(n);
  if (count == -1 && PyErr_Occurred()) return NULL;
  cw_fault_arm(count);
  Py_RETURN_NONE;
}

PyObject *cw_faults_left(PyObject *module, PyObject *unused) {
  return PyLong_FromLong(cw_fault_left());
}
#else
typedef int cw_faults_unused;
#endif
