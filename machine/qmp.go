package machine

import (
	"bufio"
	"encoding/json"
	"io"
)

// watchQMP reads the QEMU Machine Protocol until QEMU closes it, then sends
// the reason of the last SHUTDOWN event, or "" when there was none.
// https://www.qemu.org/docs/master/interop/qmp-spec.html
func watchQMP(conn io.ReadWriteCloser) <-chan Reason {
	result := make(chan Reason, 1)
	go func() {
		defer conn.Close()
		// Events are sent only to those who have negotiated.
		if _, err := io.WriteString(conn, `{"execute":"qmp_capabilities"}`+"\n"); err != nil {
			result <- ""
			return
		}
		result <- shutdownReason(conn)
	}()
	return result
}

func shutdownReason(r io.Reader) Reason {
	var reason Reason
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var message struct {
			Event string `json:"event"`
			Data  struct {
				Reason string `json:"reason"`
			} `json:"data"`
		}
		if json.Unmarshal(lines.Bytes(), &message) == nil && message.Event == "SHUTDOWN" {
			reason = Reason(message.Data.Reason)
		}
	}
	return reason
}
