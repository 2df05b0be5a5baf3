// Makes this the replica set and the users that the values say. Run by the startup probe until it
// succeeds, again after each start, and by hand after a change of the number of members or of the
// password; what is there already stays.
//
// Environment: MEMBERS (HOST:PORT with commas between), MEMBER (the HOST:PORT of this one),
// APP_USER, APP_DATABASE. Passwords come from the mounted Secret.
const fs = require("fs");
const secret = (key) => fs.readFileSync(`/etc/mongodb/secret/${key}`, "utf8").trim();
const members = process.env.MEMBERS.split(",");
const me = process.env.MEMBER;
const admin = db.getSiblingDB("admin");
const kNotYetInitialized = 94;
const kUserNotFound = 11;

admin.auth("root", secret("root-password"));

let state;
try {
  state = rs.status();
} catch (error) {
  if (error.code !== kNotYetInitialized) throw error;
  // The first member makes the set; the others wait to be taken into it.
  if (me !== members[0]) quit(1);
  rs.initiate({ _id: "rs0", members: [{ _id: 0, host: me }] });
  quit(1); // An election comes first.
}

if (state.myState === 2) quit(0); // A secondary has what the primary says.
if (state.myState !== 1) quit(1);

const config = rs.conf();
const known = config.members.map((member) => member.host);
for (const host of members.filter((each) => !known.includes(each))) {
  rs.add(host);
}

const users = db.getSiblingDB(process.env.APP_DATABASE);
const user = process.env.APP_USER;
const roles = [{ role: "readWrite", db: process.env.APP_DATABASE }];
try {
  users.updateUser(user, { pwd: secret("password"), roles });
} catch (error) {
  if (error.code !== kUserNotFound) throw error;
  users.createUser({ user, pwd: secret("password"), roles });
}
