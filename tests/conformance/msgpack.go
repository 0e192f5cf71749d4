package conformance

import (
	"encoding/binary"
	"fmt"
	"math"
	"sort"
)

// Raw is msgpack that stands in a value as it is.
type Raw []byte

// Pack gives the msgpack of nil, bool, int, float64, string, []string, []any, map[string]any, Raw.
func Pack(value any) []byte {
	switch v := value.(type) {
	case nil:
		return []byte{0xc0}
	case Raw:
		return v
	case bool:
		if v {
			return []byte{0xc3}
		}
		return []byte{0xc2}
	case int:
		return packInt(v)
	case float64:
		return binary.BigEndian.AppendUint64([]byte{0xcb}, math.Float64bits(v))
	case string:
		return append(packHead(len(v), 0xa0, 32, 0xd9), v...)
	case []string:
		out := packHead(len(v), 0x90, 16, 0)
		for _, item := range v {
			out = append(out, Pack(item)...)
		}
		return out
	case []any:
		out := packHead(len(v), 0x90, 16, 0)
		for _, item := range v {
			out = append(out, Pack(item)...)
		}
		return out
	case map[string]any:
		return packMap(v)
	}
	panic(fmt.Sprintf("pack %T", value))
}

func packMap(v map[string]any) []byte {
	keys := make([]string, 0, len(v))
	for key := range v {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	out := packHead(len(v), 0x80, 16, 0)
	for _, key := range keys {
		out = append(out, Pack(key)...)
		out = append(out, Pack(v[key])...)
	}
	return out
}

// packHead is the type and length; byte8 is the code with an 8 bit length, 0 when there is none
// (arrays and maps, whose 16 bit codes are 0xdc and 0xde).
func packHead(n int, fix byte, fixMax int, byte8 byte) []byte {
	wide := map[byte]byte{0xa0: 0xda, 0x90: 0xdc, 0x80: 0xde}[fix]
	switch {
	case n < fixMax:
		return []byte{fix | byte(n)}
	case n < 256 && byte8 != 0:
		return []byte{byte8, byte(n)}
	case n < 65536:
		return binary.BigEndian.AppendUint16([]byte{wide}, uint16(n))
	}
	return binary.BigEndian.AppendUint32([]byte{wide + 1}, uint32(n))
}

func packInt(v int) []byte {
	if v >= -32 && v < 128 {
		return []byte{byte(v)}
	}
	return binary.BigEndian.AppendUint64([]byte{0xd3}, uint64(v))
}

// IntEncodings gives v in every form in which a number may arrive, by name.
func IntEncodings(v int) map[string]Raw {
	all := map[string]Raw{
		"i64":     binary.BigEndian.AppendUint64([]byte{0xd3}, uint64(v)),
		"float64": Pack(float64(v)),
		"text":    Pack(fmt.Sprint(v)),
	}
	if v >= -32 && v < 128 {
		all["fixint"] = Raw{byte(v)}
	}
	if v >= math.MinInt8 && v <= math.MaxInt8 {
		all["i8"] = Raw{0xd0, byte(v)}
	}
	if v >= math.MinInt16 && v <= math.MaxInt16 {
		all["i16"] = binary.BigEndian.AppendUint16([]byte{0xd1}, uint16(v))
	}
	if v >= math.MinInt32 && v <= math.MaxInt32 {
		all["i32"] = binary.BigEndian.AppendUint32([]byte{0xd2}, uint32(v))
	}
	if v < 0 {
		return all
	}
	if v < 256 {
		all["u8"] = Raw{0xcc, byte(v)}
	}
	if v < 1<<16 {
		all["u16"] = binary.BigEndian.AppendUint16([]byte{0xcd}, uint16(v))
	}
	if v < 1<<32 {
		all["u32"] = binary.BigEndian.AppendUint32([]byte{0xce}, uint32(v))
	}
	all["u64"] = binary.BigEndian.AppendUint64([]byte{0xcf}, uint64(v))
	return all
}
