package rehearsal

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/proa-os/proa/repository"
)

// front serves the repository to the machines, and answers their health checks.
// All machines ask at one address, because copies of a machine are configured
// alike: who asks is known by the process that holds the other end.
type front struct {
	handler *repository.FolderHandler
	server  *http.Server
	port    int

	mu     sync.Mutex
	guests map[int]*visits // by the process id of QEMU
}

// Where guests find things; 10.0.2.2 is the host's loopback.
const (
	guestGateway = "10.0.2.2"
	healthPath   = "/rehearsal/health"
)

// newFront starts a front on a free port of the loopback.
func newFront(repositoryDir string) (*front, error) {
	handler, err := repository.Handler(repositoryDir)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		handler.Close()
		return nil, err
	}
	f := &front{handler: handler, port: listener.Addr().(*net.TCPAddr).Port, guests: map[int]*visits{}}
	f.server = &http.Server{
		Handler:           f,
		ReadHeaderTimeout: 10 * time.Second,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, guestKey{}, f.caller(c))
		},
	}
	go f.server.Serve(listener) // until close
	return f, nil
}

type guestKey struct{}

func (f *front) close() {
	if f != nil {
		f.server.Close()
		f.handler.Close()
	}
}

// url is where guests find the repository.
func (f *front) url() string { return "http://" + net.JoinHostPort(guestGateway, strconv.Itoa(f.port)) }

// welcome has the requests of a process be visits of v.
func (f *front) welcome(process int, v *visits) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.guests[process] = v
}

// forget takes the process for a stranger.
func (f *front) forget(process int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.guests, process)
}

// caller is whose connection it is, or nil. QEMU connects before it is welcome only
// if it was started a moment ago, when its guest asks for nothing yet.
func (f *front) caller(c net.Conn) *visits {
	from, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		return nil
	}
	to, err := netip.ParseAddrPort(c.LocalAddr().String())
	if err != nil {
		return nil
	}
	inode, err := socketInode(from, to)
	if err != nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for process, v := range f.guests {
		if holdsSocket(process, inode) {
			return v
		}
	}
	return nil
}

// ServeHTTP implements http.Handler.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	guest, _ := r.Context().Value(guestKey{}).(*visits)
	switch {
	case guest == nil:
		http.Error(w, "for the machines of a rehearsal", http.StatusForbidden)
	case r.URL.Path == healthPath:
		guest.health(w, r)
	case strings.HasPrefix(r.URL.Path, "/artifacts/"):
		f.handler.ServeHTTP(&meter{ResponseWriter: w, ctx: r.Context(), guest: guest}, r)
	default:
		if strings.HasPrefix(r.URL.Path, "/metadata/timestamp.json") {
			guest.noteMetadata()
		}
		f.handler.ServeHTTP(w, r)
	}
}

// answer is what a machine hears when it asks for its health.
type answer int

const (
	answerWell   answer = iota
	answerSilent        // nothing, until it goes away
	answerIll
)

// visits are what one boot of a machine asks for, and how it is served.
type visits struct {
	answers answer
	// hold is asked before each piece of an artifact: from when it says so on, no
	// more comes. May be nil.
	hold func() bool

	mu       sync.Mutex
	metadata int
	asked    int   // for the health
	fetched  int64 // bytes of artifacts
	held     bool
}

func (v *visits) noteMetadata() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.metadata++
}

// seen is a copy of the counts.
func (v *visits) seen() counts {
	v.mu.Lock()
	defer v.mu.Unlock()
	return counts{v.metadata, v.asked, v.fetched, v.held}
}

type counts struct {
	metadata, asked int
	fetched         int64
	held            bool
}

func (v *visits) health(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	v.asked++
	v.mu.Unlock()
	switch v.answers {
	case answerIll:
		http.Error(w, "a rehearsal", http.StatusServiceUnavailable)
	case answerSilent:
		<-r.Context().Done()
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// meter counts, and holds, the body of one artifact.
type meter struct {
	http.ResponseWriter
	ctx   context.Context
	guest *visits
}

// Write implements io.Writer. Pieces are small, so that there is one to hold.
func (m *meter) Write(p []byte) (int, error) {
	const piece = 16 << 10
	written := 0
	for len(p) > 0 {
		if m.guest.hold != nil && m.guest.hold() {
			m.guest.mu.Lock()
			m.guest.held = true
			m.guest.mu.Unlock()
			<-m.ctx.Done()
			return written, m.ctx.Err()
		}
		n, err := m.ResponseWriter.Write(p[:min(piece, len(p))])
		written += n
		m.guest.mu.Lock()
		m.guest.fetched += int64(n)
		m.guest.mu.Unlock()
		if err != nil {
			return written, err
		}
		p = p[n:]
	}
	return written, nil
}
