/* What the two halves of the fake driver share: paths.c decides what a path means, driver.c is the device behind it.

   The library stands in front of libc in the process that uses XRT (LD_PRELOAD).  XRT itself is unmodified. */
#ifndef ECTOOLKIT_BOARD_H
#define ECTOOLKIT_BOARD_H

#include <poll.h>
#include <stdint.h>
#include <sys/types.h>

#define NODE_NUMBER "128"
#define NODE_PATH "/dev/dri/renderD" NODE_NUMBER

/* --- messages between the library and the board's process; native byte order, one machine ------------------------ */

enum request_kind {
    REQUEST_HELLO = 1,   /* argument[0] process id; answers the memory's size, with its file descriptor */
    REQUEST_EVENTS = 2,  /* argument[0] client of the first connection; this one then carries completions */
    REQUEST_LOAD = 3,    /* payload: the xclbin */
    REQUEST_CREATE = 4,  /* argument[0] bytes, argument[1] xocl's flags; answers the device address */
    REQUEST_FREE = 5,    /* argument[0] device address */
    REQUEST_CONTEXT = 6, /* argument[0] xocl's operation, [1] compute unit, [2] flags; payload: uuid */
    REQUEST_EXECUTE = 7, /* argument[0] handle of the command buffer; payload: the command */
};

struct request {
    uint32_t kind;
    uint32_t length; /* of the payload that follows */
    uint64_t argument[3];
};

struct answer {
    int32_t error; /* 0, or a positive errno */
    uint32_t client;
    uint64_t value;
};

struct completion {
    uint32_t handle;
    uint32_t state; /* an ert_cmd_state */
};

/* --- the device ---------------------------------------------------------------------------------------------------- */

/* Open the render node; returns the descriptor, or -1 with errno set. */
int board_open(void);
/* Whether a descriptor is the device's. */
int board_owns(int fd);
int board_ioctl(int fd, unsigned long request, void *argument);
void *board_map(int fd, size_t size, int protection, off_t offset);
int board_poll(struct pollfd *entry, int timeout_ms);
int board_close(int fd);

#endif
