/* A fake xocl driver: the ioctls of /usr/include/xocl_ioctl.h, answered from the board's process.

   Buffers live twice, as on a real card: in this process (what the program maps) and in the device's memory (what a
   kernel sees).  Only a sync copies between them, so a program that forgets one gets a wrong result here too. */
#define _GNU_SOURCE
#include "board.h"
#include "drm_part.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>
#include <xocl_ioctl.h>
#include <xrt/ert.h>
#include <xrt/xclbin.h>
#include <xrt/xrt_mem.h>

#define MOST_BUFFERS 4096
#define MOST_DEVICES 8
#define MAP_SHIFT 32 /* a buffer's offset for mmap is its handle shifted by this, above all that xocl uses */

struct buffer {
    char *host;       /* NULL where the buffer is on the device only */
    uint64_t size;    /* bytes; 0 where the handle is free */
    uint64_t address; /* on the device */
    uint32_t flags;
    int borrowed; /* `host` is the program's own memory */
};

struct device {
    int events; /* the descriptor that XRT holds; completions arrive here */
    int requests;
    char *memory;
    uint64_t memory_size;
    struct buffer buffers[MOST_BUFFERS];
};

static struct device *devices[MOST_DEVICES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct device *find(int fd)
{
    if (fd < 0) return NULL;
    for (int i = 0; i < MOST_DEVICES; i++)
        if (devices[i] && devices[i]->events == fd) return devices[i];
    return NULL;
}

int board_owns(int fd) { return find(fd) != NULL; }

/* paths.c stands in front of close() and mmap() in this library too */
static void close_plainly(int fd) { syscall(SYS_close, fd); }

static int fail(int error)
{
    errno = error;
    return -1;
}

/* --- talking to the board's process ---------------------------------------------------------------------------------- */

static int dial(void)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    const char *path = getenv("ECTOOLKIT_U50_SOCKET");
    if (!path || strlen(path) >= sizeof name.sun_path) return fail(ENODEV);
    strcpy(name.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    if (connect(fd, (struct sockaddr *)&name, sizeof name)) {
        close_plainly(fd);
        return fail(ENODEV);
    }
    return fd;
}

static int send_all(int fd, const void *data, size_t size)
{
    for (const char *next = data; size;) {
        ssize_t sent = send(fd, next, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent <= 0) return fail(ENODEV);
        next += sent, size -= (size_t)sent;
    }
    return 0;
}

/* Receive an answer, and the descriptor that comes with it where `passed` is given. */
static int receive(int fd, struct answer *answer, int *passed)
{
    char control[CMSG_SPACE(sizeof(int))];
    struct iovec part = {answer, sizeof *answer};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t got;
    do got = recvmsg(fd, &message, MSG_WAITALL | MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got != (ssize_t)sizeof *answer) return fail(ENODEV);
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (passed && head && head->cmsg_type == SCM_RIGHTS) memcpy(passed, CMSG_DATA(head), sizeof *passed);
    return 0;
}

static int ask(int fd, struct request request, const void *payload, struct answer *answer, int *passed)
{
    pthread_mutex_lock(&lock);
    int bad = send_all(fd, &request, sizeof request) || (request.length && send_all(fd, payload, request.length)) ||
              receive(fd, answer, passed);
    pthread_mutex_unlock(&lock);
    if (bad) return -1;
    return answer->error ? fail(answer->error) : 0;
}

/* --- opening and closing --------------------------------------------------------------------------------------------- */

static struct device *discard(struct device *device)
{
    int error = errno;
    if (device->memory) munmap(device->memory, device->memory_size);
    if (device->requests >= 0) close_plainly(device->requests);
    if (device->events >= 0) close_plainly(device->events);
    free(device);
    errno = error;
    return NULL;
}

static struct device *connect_device(void)
{
    struct device *device = calloc(1, sizeof *device);
    struct answer answer;
    int memory = -1;
    if (!device) return NULL;
    device->events = device->requests = -1;
    device->requests = dial();
    struct request hello = {REQUEST_HELLO, 0, {(uint64_t)getpid()}};
    if (device->requests < 0 || ask(device->requests, hello, NULL, &answer, &memory)) return discard(device);
    device->memory_size = answer.value;
    device->memory = mmap(NULL, answer.value, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, memory, 0);
    close_plainly(memory);
    if (device->memory == MAP_FAILED) {
        device->memory = NULL;
        return discard(device);
    }
    struct request events = {REQUEST_EVENTS, 0, {answer.client}};
    int fd = dial();
    if (fd < 0) return discard(device);
    if (ask(fd, events, NULL, &answer, NULL)) {
        close_plainly(fd);
        return discard(device);
    }
    device->events = fd;
    return device;
}

int board_open(void)
{
    for (int i = 0; i < MOST_DEVICES; i++)
        if (!devices[i]) {
            struct device *device = connect_device();
            if (!device) return -1;
            devices[i] = device;
            return device->events;
        }
    return fail(EMFILE);
}

int board_close(int fd)
{
    for (int i = 0; i < MOST_DEVICES; i++)
        if (devices[i] && devices[i]->events == fd) {
            struct device *device = devices[i];
            devices[i] = NULL;
            for (int handle = 1; handle < MOST_BUFFERS; handle++)
                if (device->buffers[handle].host && !device->buffers[handle].borrowed)
                    munmap(device->buffers[handle].host, device->buffers[handle].size);
            discard(device);
        }
    return 0;
}

/* --- buffers --------------------------------------------------------------------------------------------------------- */

static struct buffer *buffer_of(struct device *device, uint32_t handle)
{
    if (!handle || handle >= MOST_BUFFERS || !device->buffers[handle].size) return NULL;
    return &device->buffers[handle];
}

static int free_handle(struct device *device)
{
    int handle = 1;
    while (handle < MOST_BUFFERS && device->buffers[handle].size) handle++;
    return handle;
}

static int allocate_on_device(struct device *device, struct buffer *buffer)
{
    struct answer answer;
    struct request request = {REQUEST_CREATE, 0, {buffer->size, buffer->flags}};
    if (ask(device->requests, request, NULL, &answer, NULL)) return -1;
    buffer->address = answer.value;
    return 0;
}

static uint64_t whole_pages(uint64_t size) { return (size + 4095) & ~4095ull; }

/* A buffer whose half in this process is made here. */
static int create(struct device *device, struct drm_xocl_create_bo *in)
{
    int handle = free_handle(device);
    if (handle == MOST_BUFFERS || !in->size) return fail(ENOMEM);
    struct buffer made = {.size = whole_pages(in->size), .flags = in->flags};
    if (!(in->flags & XCL_BO_FLAGS_EXECBUF) && allocate_on_device(device, &made)) return -1;
    if (!(in->flags & XCL_BO_FLAGS_DEV_ONLY)) {
        made.host = mmap(NULL, made.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (made.host == MAP_FAILED) return fail(ENOMEM);
    }
    device->buffers[handle] = made;
    in->handle = (uint32_t)handle;
    return 0;
}

/* A buffer whose half in this process is memory of the program, as XRT makes them from 2.13 on. */
static int adopt(struct device *device, struct drm_xocl_userptr_bo *in)
{
    int handle = free_handle(device);
    if (handle == MOST_BUFFERS || !in->size) return fail(ENOMEM);
    if (in->addr % 4096) return fail(EINVAL);
    struct buffer made = {.host = (char *)(uintptr_t)in->addr, .size = in->size, .flags = in->flags, .borrowed = 1};
    if (allocate_on_device(device, &made)) return -1;
    device->buffers[handle] = made;
    in->handle = (uint32_t)handle;
    return 0;
}

static int discard_buffer(struct device *device, uint32_t handle)
{
    struct buffer *buffer = buffer_of(device, handle);
    if (!buffer) return fail(ENOENT);
    if (buffer->host && !buffer->borrowed) munmap(buffer->host, buffer->size);
    struct answer answer;
    struct request request = {REQUEST_FREE, 0, {buffer->address}};
    if (!(buffer->flags & XCL_BO_FLAGS_EXECBUF)) ask(device->requests, request, NULL, &answer, NULL);
    buffer->size = 0;
    buffer->host = NULL;
    return 0;
}

static int sync_buffer(struct device *device, struct drm_xocl_sync_bo *in)
{
    struct buffer *buffer = buffer_of(device, in->handle);
    if (!buffer) return fail(ENOENT);
    if (in->offset > buffer->size || in->size > buffer->size - in->offset) return fail(EINVAL);
    if (!buffer->host) return fail(EINVAL);
    char *host = buffer->host + in->offset, *there = device->memory + buffer->address + in->offset;
    if (in->dir == DRM_XOCL_SYNC_BO_TO_DEVICE)
        memcpy(there, host, in->size);
    else
        memcpy(host, there, in->size);
    return 0;
}

static int copy_buffer(struct device *device, struct drm_xocl_copy_bo *in)
{
    struct buffer *to = buffer_of(device, in->dst_handle), *from = buffer_of(device, in->src_handle);
    if (!to || !from) return fail(ENOENT);
    if (in->dst_offset + in->size > to->size || in->src_offset + in->size > from->size) return fail(EINVAL);
    memmove(device->memory + to->address + in->dst_offset, device->memory + from->address + in->src_offset, in->size);
    return 0;
}

/* Bytes to or from a buffer's half in this process. */
static int move_host(struct device *device, uint32_t handle, uint64_t offset, uint64_t size, uint64_t user, int writing)
{
    struct buffer *buffer = buffer_of(device, handle);
    if (!buffer || !buffer->host) return fail(ENOENT);
    if (offset > buffer->size || size > buffer->size - offset) return fail(EINVAL);
    void *data = (void *)(uintptr_t)user;
    if (writing)
        memcpy(buffer->host + offset, data, size);
    else
        memcpy(data, buffer->host + offset, size);
    return 0;
}

/* Bytes to or from the device's memory by its own address. */
static int move_device(struct device *device, uint64_t address, uint64_t size, uint64_t user, int writing)
{
    if (address > device->memory_size || size > device->memory_size - address) return fail(EINVAL);
    void *data = (void *)(uintptr_t)user;
    if (writing)
        memcpy(device->memory + address, data, size);
    else
        memcpy(data, device->memory + address, size);
    return 0;
}

static int describe(struct device *device, struct drm_xocl_info_bo *out)
{
    struct buffer *buffer = buffer_of(device, out->handle);
    if (!buffer) return fail(ENOENT);
    out->flags = buffer->flags;
    out->size = buffer->size;
    out->paddr = buffer->address;
    return 0;
}

void *board_map(int fd, size_t size, int protection, off_t offset)
{
    struct device *device = find(fd);
    struct buffer *buffer = buffer_of(device, (uint32_t)((uint64_t)offset >> MAP_SHIFT));
    if (!buffer || !buffer->host || buffer->borrowed || size > buffer->size) {
        errno = EINVAL;
        return MAP_FAILED;
    }
    /* from a size of 0, mremap makes a second mapping of the same shared pages: the program may unmap its own */
    void *second = mremap(buffer->host, 0, buffer->size, MREMAP_MAYMOVE);
    if (second != MAP_FAILED && !(protection & PROT_WRITE)) mprotect(second, buffer->size, PROT_READ);
    return second;
}

/* --- kernels --------------------------------------------------------------------------------------------------------- */

static int load(struct device *device, struct drm_xocl_axlf *in)
{
    struct answer answer;
    struct request request = {REQUEST_LOAD, (uint32_t)in->xclbin->m_header.m_length, {0}};
    return ask(device->requests, request, in->xclbin, &answer, NULL);
}

static int context(struct device *device, struct drm_xocl_ctx *in)
{
    struct answer answer;
    struct request request = {REQUEST_CONTEXT, sizeof in->xclbin_id, {in->op, in->cu_index, in->flags}};
    if (in->op == XOCL_CTX_OP_OPEN_UCU_FD) return fail(EOPNOTSUPP);
    return ask(device->requests, request, in->xclbin_id, &answer, NULL);
}

static int execute(struct device *device, struct drm_xocl_execbuf *in)
{
    struct buffer *buffer = buffer_of(device, in->exec_bo_handle);
    if (!buffer || !buffer->host) return fail(EINVAL);
    struct ert_packet *packet = (struct ert_packet *)buffer->host;
    uint32_t length = (packet->count + 1u) * 4u;
    if (length > buffer->size) return fail(EINVAL);
    struct answer answer;
    struct request request = {REQUEST_EXECUTE, length, {in->exec_bo_handle}};
    return ask(device->requests, request, packet, &answer, NULL);
}

int board_poll(struct pollfd *entry, int timeout_ms)
{
    struct device *device = find(entry->fd);
    struct timespec limit = {timeout_ms / 1000, (timeout_ms % 1000) * 1000000l};
    int ready = (int)syscall(SYS_ppoll, entry, 1, timeout_ms < 0 ? NULL : &limit, NULL, 0);
    if (ready <= 0) return ready;
    struct completion done;
    int count = 0;
    while (recv(device->events, &done, sizeof done, MSG_DONTWAIT) == (ssize_t)sizeof done) {
        struct buffer *buffer = buffer_of(device, done.handle);
        if (buffer && buffer->host) ((struct ert_packet *)buffer->host)->state = done.state;
        count++;
    }
    /* the board's process is gone where there was nothing to read */
    return count ? ready : fail(ENODEV);
}

static int version(struct drm_version *out)
{
    out->name_len = out->date_len = out->desc_len = 0;
    out->version_major = 2;
    out->version_minor = 13;
    out->version_patchlevel = 466;
    return 0;
}

int board_ioctl(int fd, unsigned long request, void *argument)
{
    struct device *device = find(fd);
    struct drm_xocl_map_bo *map = argument;
    struct drm_xocl_pwrite_bo *host = argument; /* pread's has the same form */
    struct drm_xocl_pwrite_unmgd *raw = argument;
    switch (request) {
    case DRM_IOCTL_VERSION: return version(argument);
    case DRM_IOCTL_XOCL_CREATE_BO: return create(device, argument);
    case DRM_IOCTL_XOCL_USERPTR_BO: return adopt(device, argument);
    case DRM_IOCTL_GEM_CLOSE: return discard_buffer(device, ((struct drm_gem_close *)argument)->handle);
    case DRM_IOCTL_XOCL_MAP_BO:
        if (!buffer_of(device, map->handle)) return fail(ENOENT);
        map->offset = (uint64_t)map->handle << MAP_SHIFT;
        return 0;
    case DRM_IOCTL_XOCL_SYNC_BO: return sync_buffer(device, argument);
    case DRM_IOCTL_XOCL_INFO_BO: return describe(device, argument);
    case DRM_IOCTL_XOCL_COPY_BO: return copy_buffer(device, argument);
    case DRM_IOCTL_XOCL_PWRITE_BO: return move_host(device, host->handle, host->offset, host->size, host->data_ptr, 1);
    case DRM_IOCTL_XOCL_PREAD_BO: return move_host(device, host->handle, host->offset, host->size, host->data_ptr, 0);
    case DRM_IOCTL_XOCL_PWRITE_UNMGD: return move_device(device, raw->paddr, raw->size, raw->data_ptr, 1);
    case DRM_IOCTL_XOCL_PREAD_UNMGD: return move_device(device, raw->paddr, raw->size, raw->data_ptr, 0);
    case DRM_IOCTL_XOCL_READ_AXLF: return load(device, argument);
    case DRM_IOCTL_XOCL_CTX: return context(device, argument);
    case DRM_IOCTL_XOCL_EXECBUF: return execute(device, argument);
    default: return fail(EOPNOTSUPP);
    }
}
