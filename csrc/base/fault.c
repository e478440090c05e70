/* SPDX-License-Identifier: MIT */
/* The countdown of the fault-injection build; empty otherwise. */
#include "base/fault.h"

#ifdef CW_FAULTS
atomic_long cw_fault_countdown;
#else
typedef int cw_fault_unused;
#endif
