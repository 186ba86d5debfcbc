package gnugzip

// The alphabets of RFC 1951, section 3.2.

// lenOrder is the order in which the lengths of the code of lengths are written.
var lenOrder = [lenCodes]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// litExtra is the bits that follow a symbol of literals and lengths.
func litExtra(code int) uint8 {
	if code < 265 || code == 285 {
		return 0
	}
	return uint8(code-261) / 4
}

func distExtra(code int) uint8 {
	if code < 4 {
		return 0
	}
	return uint8(code-2) / 2
}

func lenExtra(code int) uint8 {
	switch code {
	case 16:
		return 2
	case 17:
		return 3
	case 18:
		return 7
	}
	return 0
}

var (
	lenBase  [29]uint8         // the least length of a code, less minMatch
	lenCode  [256]uint8        // of a length, less minMatch
	distBase [distCodes]uint16 // the least distance of a code, less 1
	nearCode [256]uint8        // of a distance, less 1
	farCode  [256]uint8        // of a distance, less 1, by its upper 8 of 15 bits

	staticLit      [litCodes + 2]uint8
	staticLitCode  [litCodes + 2]uint16
	staticDist     [distCodes]uint8
	staticDistCode [distCodes]uint16
)

func init() {
	at := 0
	for code := range 28 {
		lenBase[code] = uint8(at)
		for range 1 << litExtra(257+code) {
			lenCode[at] = uint8(code)
			at++
		}
	}
	lenBase[28], lenCode[255] = 255, 28
	at = 0
	for code := range distCodes {
		distBase[code] = uint16(at)
		for range 1 << distExtra(code) {
			if at < 256 {
				nearCode[at] = uint8(code)
			} else {
				farCode[at>>7] = uint8(code)
			}
			at++
		}
	}
	for i := range staticLit {
		switch {
		case i < 144, i >= 280:
			staticLit[i] = 8
		case i < 256:
			staticLit[i] = 9
		default:
			staticLit[i] = 7
		}
	}
	for i := range staticDist {
		staticDist[i] = 5
	}
	copy(staticLitCode[:], codesOf(staticLit[:]))
	copy(staticDistCode[:], codesOf(staticDist[:]))
}

// distCode is the code of a distance.
func distCode(distance int) int {
	if distance <= 256 {
		return int(nearCode[distance-1])
	}
	return int(farCode[(distance-1)>>7])
}
