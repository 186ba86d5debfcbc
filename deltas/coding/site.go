package coding

// site is where a copy is from and where it went, within its pair.
type site struct {
	pair  *placed
	moved int32 // of this copy
	shift int   // from a position in the output to an offset of the old file
}

// absolute guesses how a value changes that is an offset of the file.
func (s *site) absolute(value uint32) int32 {
	by, _ := s.pair.by(int(value))
	return by
}

// relative guesses how a value changes that is the distance from itself to
// something in the file.
func (s *site) relative(value uint32, at int) int32 {
	by, inside := s.pair.by(at + s.shift + int(int32(value)))
	if !inside {
		return 0
	}
	return by - s.moved
}
