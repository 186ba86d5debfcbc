package coding

// echo expects what followed the last time the same bytes were there.
type echo struct {
	places [1 << 16]int32 // behind the bytes of that hash, in the output
	at     int            // of the byte that is expected
	length int            // how many bytes agree before it; 0 when none is expected
	right  [longest + 1]cell
}

const (
	longest    = 31
	echoBytes  = 6
	hashFactor = 0x9e3779b185ebca87
)

func (e *echo) reset() {
	clear(e.places[:])
	for i := range e.right {
		e.right[i] = evenCell
	}
	e.at, e.length = 0, 0
}

// expect is the byte that is expected, and for how many bytes that was right, 0
// when there is none.
func (e *echo) expect(history []byte) (byte, int) {
	if e.length == 0 || e.at >= len(history) {
		return 0, 0
	}
	return history[e.at], e.length
}

// heard learns the byte after history.
func (e *echo) heard(history []byte, last uint64, b byte) {
	if e.length > 0 && e.at < len(history) && history[e.at] == b {
		e.length = min(e.length+1, longest)
		e.at++
	} else {
		e.length = 0
	}
	if len(history) < echoBytes {
		return
	}
	history = append(history, b) // in place: there is room for the output
	place := &e.places[(last<<8|uint64(b))<<16*hashFactor>>48]
	if e.length == 0 && *place > 0 {
		at := int(*place)
		for e.length < longest && e.length < at && history[at-1-e.length] == history[len(history)-1-e.length] {
			e.length++
		}
		e.at = at
	}
	*place = int32(len(history))
}

// opinion is what is expected of a bit, in the logistic domain.
func (e *echo) opinion(length, likely int) int32 {
	if length == 0 {
		return 0
	}
	x := e.right[length].logistic()
	if likely == 0 {
		return -x
	}
	return x
}
