/* The part of the kernel's drm.h that xocl's ioctls build on; Debian has the whole in libdrm-dev, for these few lines. */
#ifndef ECTOOLKIT_DRM_PART_H
#define ECTOOLKIT_DRM_PART_H

#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

#define DRM_COMMAND_BASE 0x40
#define DRM_IO(number) _IO('d', number)
#define DRM_IOW(number, type) _IOW('d', number, type)
#define DRM_IOWR(number, type) _IOWR('d', number, type)

struct drm_version {
    int version_major;
    int version_minor;
    int version_patchlevel;
    size_t name_len;
    char *name;
    size_t date_len;
    char *date;
    size_t desc_len;
    char *desc;
};

struct drm_gem_close {
    uint32_t handle;
    uint32_t pad;
};

#define DRM_IOCTL_VERSION DRM_IOWR(0x00, struct drm_version)
#define DRM_IOCTL_GEM_CLOSE DRM_IOW(0x09, struct drm_gem_close)

#endif
