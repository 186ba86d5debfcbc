package lastwords

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proa-os/proa/updater/program"
)

// readKmsg reads the kernel's log as it stands and waits for no more. The
// format is that of Documentation/ABI/testing/dev-kmsg of the kernel: a record has
// "priority,sequence,microseconds,flags;text", and then lines that begin with a space.
func readKmsg(path string, most int64) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer unix.Close(fd)
	const readsMost = 1 << 17 // more than a log of a kernel has records
	kept := &program.Tail{Most: most}
	buffer, rest := make([]byte, 16<<10), []byte(nil)
	for range readsMost {
		n, err := unix.Read(fd, buffer)
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EPIPE): // a record was overwritten meanwhile
			continue
		case errors.Is(err, unix.EAGAIN), err == nil && n == 0:
			return kept.Bytes(), nil
		case err != nil:
			return kept.Bytes(), fmt.Errorf("%s: %w", path, err)
		}
		rest = append(rest, buffer[:n]...)
		whole := bytes.LastIndexByte(rest, '\n') + 1
		for line := range bytes.Lines(rest[:whole]) {
			kept.Write(kmsgLine(line))
		}
		rest = append(rest[:0], rest[whole:]...)
		if len(rest) > len(buffer) {
			rest = rest[:0]
		}
	}
	return kept.Bytes(), nil
}

// kmsgLine is one line as dmesg shows it; nothing for what only describes a record.
func kmsgLine(line []byte) []byte {
	head, message, found := bytes.Cut(line, []byte(";"))
	fields := strings.Split(string(head), ",")
	if !found || len(fields) < 3 || line[0] == ' ' {
		return nil
	}
	micros, err := strconv.ParseUint(fields[2], 10, 63)
	if err != nil {
		return nil
	}
	return fmt.Appendf(nil, "[%5d.%06d] kernel: %s", micros/1e6, micros%1e6, message)
}

// pstorePart is the first line of a record that the kernel cut into parts: the
// last part is written first (fs/pstore/platform.c of the kernel).
var pstorePart = regexp.MustCompile(`^[A-Za-z]+#([0-9]{1,9}) Part([0-9]{1,9})\n`)

// panicRecord is what one file of pstore holds.
type panicRecord struct {
	path        string
	when        time.Time
	count, part int
	words       []byte
}

// pstore is what panicking kernels wrote at since or later, oldest first.
// Nothing is removed: that is systemd-pstore's.
func (c Config) pstore(since time.Time) []byte {
	const recordsMost = 64
	var records []panicRecord
	for _, folder := range c.Pstore {
		// systemd-pstore makes a folder for each crash, and may put parts one deeper.
		filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() && strings.Count(strings.TrimPrefix(path, folder), "/") > 2 {
				return fs.SkipDir
			}
			if entry.IsDir() || !strings.HasPrefix(entry.Name(), "dmesg") || len(records) == recordsMost {
				return nil
			}
			if record, ok := readPanic(path, c.most()); ok && !record.when.Before(since) {
				records = append(records, record)
			}
			return nil
		})
	}
	inOrder(records)
	end := &program.Tail{Most: c.most()}
	for _, record := range records {
		fmt.Fprintf(end, "-- %s\n%s\n", filepath.Base(record.path), bytes.TrimRight(record.words, "\n"))
	}
	return end.Bytes()
}

// inOrder sorts by time and, within one crash, puts the parts in the order in which
// the kernel said them.
func inOrder(records []panicRecord) {
	const oneCrash = 2 * time.Second // from one part to the next
	slices.SortFunc(records, func(a, b panicRecord) int {
		return cmp.Or(a.when.Compare(b.when), strings.Compare(a.path, b.path))
	})
	for first := 0; first < len(records); {
		last := first + 1
		for last < len(records) && records[last].count == records[first].count && records[last].when.Sub(records[last-1].when) <= oneCrash {
			last++
		}
		slices.SortStableFunc(records[first:last], func(a, b panicRecord) int { return b.part - a.part })
		first = last
	}
}

func readPanic(path string, most int64) (panicRecord, bool) {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return panicRecord{}, false
	}
	words, err := readEnd(path, most)
	if err != nil || len(words) == 0 {
		return panicRecord{}, false
	}
	record := panicRecord{path: path, when: info.ModTime(), words: words}
	if found := pstorePart.FindSubmatch(words); found != nil {
		record.count, _ = strconv.Atoi(string(found[1]))
		record.part, _ = strconv.Atoi(string(found[2]))
	}
	return record, true
}
