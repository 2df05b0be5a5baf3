if call('HEXISTS', GROUPS, group) == 0 then return 0 end
touch_group()
expire()
local letters = chosen_letters()
for _, letter in ipairs(letters) do drop_letter(letter.at, letter.m, letter.b) end
write_counts()
return #letters
