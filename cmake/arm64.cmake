# Toolchain: AArch64 Linux from an x86-64 Debian; tests run under qemu-user.
#
# Preset arm64: only the rooms that need no foreign library (libraries_from_headers.cmake), linked statically.
# Preset arm64-whole: the whole program against a tree of arm64 packages, made by tools/make_arm64_sysroot.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc-12)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++-12)
# qemu's `max` has every extension that it knows.
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64-static;-cpu;max)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)

list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES XH_SYSROOT)
if(XH_SYSROOT)
  set(CMAKE_SYSROOT ${XH_SYSROOT})
  list(APPEND CMAKE_CROSSCOMPILING_EMULATOR -L ${XH_SYSROOT})
  set(ENV{PKG_CONFIG_DIR} "")
  set(ENV{PKG_CONFIG_LIBDIR} ${XH_SYSROOT}/usr/lib/aarch64-linux-gnu/pkgconfig:${XH_SYSROOT}/usr/share/pkgconfig)
  set(ENV{PKG_CONFIG_SYSROOT_DIR} ${XH_SYSROOT})
endif()
