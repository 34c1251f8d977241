# What doxygen reads of a header (INPUT_FILTER): the comment that the header begins with becomes that
# of the file, and a line of dashes behind a title a group of what follows. Comments are plain text:
# angle brackets are no HTML, a backslash is no command, and lines that are set in are shown as they
# stand. What follows the namespace, such as formatters of fmt, is left out.

function plain(line,    parts, count, i) {
  gsub(/\\/, "\\\\", line)
  count = split(line, parts, "`")
  line = ""
  for (i = 1; i <= count; ++i) {
    if (i % 2 == 1) {  # outside of `code`
      gsub(/</, "\\&lt;", parts[i])
      gsub(/>/, "\\&gt;", parts[i])
      gsub(/--/, "\\--", parts[i])  # no dash
    }
    line = line (i > 1 ? "`" : "") parts[i]
  }
  gsub(/et al\.( |$)/, "et al.\\ ", line)  # no end of a sentence
  return line
}

# Prints a line of a comment, given what stands before its slashes and behind them.
function comment(before, text) {
  if (text ~ /^ (-|[0-9]+\.) /) item = 1
  else if (text !~ /^   /) item = 0  # what goes on with an item is set in as well
  indented = text ~ /^   / && !item
  if (indented != set_in && text !~ /^ *$/) {
    print before "///"
    set_in = indented
  }
  print before "///" (indented ? "  " text : plain(text))
}

FNR == 1 { beginning = /^\/\/( |$)/; if (beginning) print "/// @file" }
beginning && /^\/\// { comment("", substr($0, 3)); next }
{ beginning = 0 }

/^\/\/ .* -----+$/ {
  if (group) print "/// @}"
  group = 1
  sub(/^\/\/ /, "")
  sub(/( \([a-z_]+\.cpp\))? -+$/, "")
  print "/// @name " $0 "\n/// @{"
  next
}
/^}  \/\/ namespace dragoman/ {
  if (group) print "/// @}"
  print
  group = 0
  outside = 1
  next
}
/^namespace/ { outside = 0 }
outside { next }

match($0, /\/\/\//) { comment(substr($0, 1, RSTART - 1), substr($0, RSTART + 3)); next }
{ set_in = item = 0; print }
