/* Counts large allocations of a process it is preloaded into, between calls of begin_counting and counted. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static atomic_long large;
static const size_t least = 4096;

static void count(size_t size) {
    if (size >= least) atomic_fetch_add(&large, 1);
}

void begin_counting(void) { atomic_store(&large, 0); }
long counted(void) { return atomic_load(&large); }

void *malloc(size_t size) { count(size); return __libc_malloc(size); }
void *calloc(size_t number, size_t size) { count(number * size); return __libc_calloc(number, size); }
void *realloc(void *given, size_t size) { count(size); return __libc_realloc(given, size); }
void *memalign(size_t alignment, size_t size) { count(size); return __libc_memalign(alignment, size); }
void *aligned_alloc(size_t alignment, size_t size) { count(size); return __libc_memalign(alignment, size); }
int posix_memalign(void **made, size_t alignment, size_t size) {
    count(size);
    *made = __libc_memalign(alignment, size);
    return *made ? 0 : ENOMEM;
}
