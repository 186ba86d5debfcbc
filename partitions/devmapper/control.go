package devmapper

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ControlPath is the node that all requests go to.
const ControlPath = "/dev/mapper/control"

// The structures of linux/dm-ioctl.h, in bytes.
const (
	headerSize = 312 // struct dm_ioctl
	specSize   = 40  // struct dm_target_spec
	bufferSize = 16 << 10
)

// request is one ioctl.
type request struct {
	name   string
	flags  uint32
	target *target // for DM_TABLE_LOAD
}

// answer is what came back.
type answer struct {
	device  uint64 // number
	targets []target
}

// target is one line of a table.
type target struct {
	start, length uint64 // sectors of 512 bytes
	kind          string
	params        string
}

type control struct{ file *os.File }

func openControl() (*control, error) {
	file, err := os.OpenFile(ControlPath, os.O_RDWR, 0)
	if err != nil {
		return nil, err // it names the path
	}
	return &control{file}, nil
}

func (c *control) close() { c.file.Close() }

// run sends a request and decodes the answer.
func (c *control) run(command uint, r request) (answer, error) {
	buffer, err := r.encode()
	if err != nil {
		return answer{}, err
	}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, c.file.Fd(), uintptr(command), uintptr(unsafe.Pointer(&buffer[0])))
	runtime.KeepAlive(c.file)
	if errno != 0 {
		return answer{}, fmt.Errorf("device-mapper request %#x: %w", command&0xff, errno)
	}
	return decode(buffer, command == unix.DM_TABLE_STATUS)
}

// encode lays the request out in a buffer that has room for the answer.
func (r request) encode() ([]byte, error) {
	if r.name == "" || len(r.name) >= unix.DM_NAME_LEN || bytes.ContainsAny([]byte(r.name), "/\x00") {
		return nil, fmt.Errorf("device name %.140q: want 1 to %d bytes without a slash", r.name, unix.DM_NAME_LEN-1)
	}
	b := make([]byte, bufferSize)
	native := binary.NativeEndian
	native.PutUint32(b[0:], 4) // version 4.0.0: the oldest interface that has all we ask for
	native.PutUint32(b[12:], bufferSize)
	native.PutUint32(b[16:], headerSize) // where the data starts
	native.PutUint32(b[28:], r.flags)
	copy(b[48:], r.name)
	if r.target == nil {
		return b, nil
	}
	if headerSize+specSize+len(r.target.params)+1 > bufferSize || len(r.target.kind) >= unix.DM_MAX_TYPE_NAME {
		return nil, fmt.Errorf("table %.80q: want it in %d bytes", r.target.params, bufferSize)
	}
	native.PutUint32(b[20:], 1) // target count
	spec := b[headerSize:]
	native.PutUint64(spec[0:], r.target.start)
	native.PutUint64(spec[8:], r.target.length)
	copy(spec[24:], r.target.kind)
	copy(spec[specSize:], r.target.params)
	return b, nil
}

// decode reads an answer; only some requests are answered with targets.
func decode(b []byte, withTargets bool) (answer, error) {
	if len(b) < headerSize {
		return answer{}, fmt.Errorf("answer of %d bytes: want at least %d", len(b), headerSize)
	}
	native := binary.NativeEndian
	a := answer{device: native.Uint64(b[40:])}
	if !withTargets {
		return a, nil
	}
	if native.Uint32(b[28:])&unix.DM_BUFFER_FULL_FLAG != 0 {
		return answer{}, fmt.Errorf("answer of more than %d bytes", len(b))
	}
	at, count := uint64(native.Uint32(b[16:])), native.Uint32(b[20:])
	first := at
	for range count {
		if at+specSize > uint64(len(b)) {
			return answer{}, fmt.Errorf("target at byte %d of an answer of %d", at, len(b))
		}
		spec := b[at:]
		a.targets = append(a.targets, target{
			start:  native.Uint64(spec[0:]),
			length: native.Uint64(spec[8:]),
			kind:   untilZero(spec[24:specSize]),
			params: untilZero(spec[specSize:]),
		})
		// In answers, next counts from the first target, not from this one.
		next := first + uint64(native.Uint32(spec[20:]))
		if next <= at {
			break
		}
		at = next
	}
	return a, nil
}

func untilZero(b []byte) string {
	before, _, _ := bytes.Cut(b, []byte{0})
	return string(before)
}
