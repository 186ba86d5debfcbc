package events

import (
	"bytes"
	"encoding/binary"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// JournalSocket is where systemd-journald listens.
const JournalSocket = "/run/systemd/journal/socket"

const (
	valueMost  = 4 << 10     // bytes of one field's value
	fieldsMost = 32          // fields of an event beside the fixed ones
	patience   = time.Second // for a journald that does not read
)

// Journal is a Sink that writes to the systemd journal at socket. What cannot
// be delivered goes to fallback.
func Journal(socket string, fallback Sink) Sink { return &journal{socket, fallback, patience} }

type journal struct {
	socket   string
	fallback Sink
	patience time.Duration
}

// Event opens the socket anew: events are rare, and journald may have been
// restarted since the last.
func (j *journal) Event(e Event) {
	if err := j.send(e); err != nil {
		j.fallback.Event(e)
	}
}

func (j *journal) send(e Event) error {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: j.socket, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetWriteDeadline(time.Now().Add(j.patience)); err != nil {
		return err
	}
	_, err = conn.Write(datagram(e))
	return err
}

// datagram is e in the journal's native protocol (systemd project,
// "Native Journal Protocol").
func datagram(e Event) []byte {
	var b bytes.Buffer
	for _, f := range append([]field{
		{"MESSAGE", e.String()},
		{"PRIORITY", strconv.Itoa(int(e.Kind.Priority()))},
		{"SYSLOG_IDENTIFIER", "proa-agent"},
		{"MESSAGE_ID", e.Kind.ID()},
	}, fields(e)...) {
		value := clip(f.value)
		b.WriteString(f.name)
		if !strings.Contains(value, "\n") {
			b.WriteString("=" + value + "\n")
			continue
		}
		// A value with line ends goes with its length, or it could add fields.
		b.WriteByte('\n')
		b.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(value))))
		b.WriteString(value + "\n")
	}
	return b.Bytes()
}

type field struct{ name, value string }

// fields are the event's own, named as in the journal; those of Fields by
// name.
func fields(e Event) []field {
	all := []field{{"PROA_EVENT", e.Kind.Name()}}
	if e.Version != "" {
		all = append(all, field{"PROA_VERSION", string(e.Version)})
	}
	if e.Slot != 0 {
		all = append(all, field{"PROA_SLOT", e.Slot.String()})
	}
	if e.Text != "" {
		all = append(all, field{"PROA_REASON", e.Text})
	}
	names := slices.Sorted(maps.Keys(e.Fields))
	for _, name := range names[:min(len(names), fieldsMost)] {
		f := field{fieldName(name), e.Fields[name]}
		if !slices.ContainsFunc(all, func(other field) bool { return other.name == f.name }) {
			all = append(all, f)
		}
	}
	return all
}

const fieldNameMost = 64 // journald drops longer ones

// fieldName is "PROA_" and the name in capitals; what a field's name cannot
// have becomes "_".
func fieldName(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		case 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
			return r
		}
		return '_'
	}, name)
	name = "PROA_" + name
	return name[:min(len(name), fieldNameMost)]
}

func clip(value string) string {
	if len(value) <= valueMost {
		return value
	}
	return strings.ToValidUTF8(value[:valueMost], "") + "…"
}
